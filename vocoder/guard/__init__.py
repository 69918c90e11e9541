"""The mel guard: does a mel follow its mel config, and if not, what is it likely to be?"""
