"""Indexes as released versions wrote them, and what they answered."""
