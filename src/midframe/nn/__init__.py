"""Blocks of networks that several systems share."""
