"""Metrics, intervals, comparisons, calibration and decision rules, computed from predictions."""
