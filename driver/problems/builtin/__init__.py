"""The built-in parallel problem set: word problems that say the same thing, with the same numbers, in every language.

The templates hold the arithmetic without any word, and each language has one file of words. Items are drawn from a
seed; nothing is downloaded.
"""
