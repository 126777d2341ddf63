"""Exercises of lesson 05."""

EXERCISES = ()
