"""How similar images must be to count as duplicates. Apart from the search, so that commands know it without loading that."""

DISTANCE, MAX_DISTANCE = 4, 16  # bits of 64 in which the perceptual hashes of near duplicates may differ
