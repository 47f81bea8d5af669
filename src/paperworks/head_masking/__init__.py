"""Attention head masking (arXiv 2408.11237): tell documents of no known kind from the known ones."""
