"""Bad pictures, made here from nothing: crafted ones, truncations, and seeded mutants of valid files.

    python -m tests.corpus [--mutants 50000] [--seed 1]

puts every one of them through real compute children, as a worker does, and prints what became of them.
"""
