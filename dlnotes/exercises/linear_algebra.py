"""Exercises of lesson 00."""

EXERCISES = ()
