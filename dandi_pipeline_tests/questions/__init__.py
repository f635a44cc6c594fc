"""Tests of the facets and of the twenty questions that are asked of them."""
