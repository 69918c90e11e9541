"""The mel guard: is this a mel as the contract says, and if not, what is it likely to be?"""
