"""Figures of the pages: charts drawn as lines, with their numbers as a table for who reads them."""
