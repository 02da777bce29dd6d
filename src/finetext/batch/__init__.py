"""Prediction of whole files, in batches and resumable."""
