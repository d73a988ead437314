"""How good and how sure: accuracy, reliability, calibration, evidence."""
