"""Everything that comes from outside, damaged at random: `python -m benchmarks.abuse --seed N --minutes M`."""
