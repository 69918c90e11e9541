"""The mel guard: does a mel follow its contract, and if not, what is it likely to be?"""
