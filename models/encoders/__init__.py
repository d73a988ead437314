"""Pretrained encoders: the table, their bands, weights and normalisation."""
