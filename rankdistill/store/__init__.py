"""The data set on disk: Delta tables under one list of builds."""
