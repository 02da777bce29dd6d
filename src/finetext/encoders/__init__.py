"""Pretrained encoders by name, and the architectures of finetext itself."""
