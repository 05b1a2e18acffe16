"""Carries an approved plan out, one idempotent step at a time, and undoes it when it is not proven to help."""
