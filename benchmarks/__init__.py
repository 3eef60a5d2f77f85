"""Milepost beside its peers on the same work in one run: what counts is the ratio, for machines differ."""
