"""Scaling laws of sparse mixture-of-experts language models: count, train, fit, judge."""
