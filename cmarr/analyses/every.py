"""Every analysis, in the order of the page."""

from cmarr.analyses import (
    ablations,
    as_published,
    calibration,
    clusters,
    confusion,
    corpus,
    cost,
    crossing,
    damage,
    ensembles,
    faces,
    importance,
    learning,
    provenance,
    recovery,
    results,
    risk,
    robustness,
    sensitivity,
    summary,
    tuned,
)
from cmarr.analyses.analysis import Analysis

ANALYSES: dict[str, Analysis] = {
    module.__name__.rpartition(".")[2]: module.ANALYSIS
    for module in (
        summary,
        corpus,
        results,
        confusion,
        importance,
        robustness,
        damage,
        calibration,
        risk,
        tuned,
        ensembles,
        ablations,
        as_published,
        sensitivity,
        recovery,
        clusters,
        crossing,
        learning,
        faces,
        cost,
        provenance,
    )
}
"""Name of its file -> the analysis."""
