"""Exercises of lesson 03."""

EXERCISES = ()
