"""The built-in parallel problem set: word problems that say the same thing, with the same numbers, in every language.

`templates` owns the arithmetic and no word; `text/` owns the words, one file a language; `wording` puts the two
together; `generate` draws items from a seed. Nothing here is downloaded, and nothing here knows how items are used.
"""
