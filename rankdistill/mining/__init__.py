"""Mined negatives, from vector tables and a data set to the table `mined`."""
