"""The built-in problems of logic: orders, kinship, places, rules, and why things happen, the same in all languages.

An answer is a clause that can be said in several ways ("Maria is taller than Nina", "Nina is shorter than Maria"), so
that no exact match can judge it. The templates hold the logic without any word, and each language has one file of
words. Items are drawn from a seed; nothing is downloaded.
"""
