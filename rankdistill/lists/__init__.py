"""Ranked lists: one request, its candidates in the teacher's order."""
