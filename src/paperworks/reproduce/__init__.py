"""Runs claims, keeps evidence, draws the report."""
