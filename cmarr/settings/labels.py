"""What Table 3 calls the rows that are no ablation."""

FULL = "full"
"""The whole method."""

FUSION_ALONE = "masked (fusion alone)"
"""The method `masked` among CM-ARR's ablations."""
