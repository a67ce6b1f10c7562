"""Agreement of masks and volumes: with a truth, between readers, between two runs."""
