"""From answers to numbers: predictions files, their scores, aggregation with intervals, comparisons."""
