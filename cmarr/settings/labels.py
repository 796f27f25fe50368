"""What tables know of single methods: the rows of Table 3 that are no ablation, and the plain rivals."""

FULL = "full"
"""The whole method."""

FUSION_ALONE = "masked (fusion alone)"
"""The method `masked` among CM-ARR's ablations."""

PARTS = {"cmarr": {FUSION_ALONE: "masked"}}
"""Method -> label -> the method that is a part of it alone: an ablation that has a name of its own."""

PLAIN = ("masked", "linear", "gbdt")
"""The plain rivals: what a method has to beat to have earned its parts."""
