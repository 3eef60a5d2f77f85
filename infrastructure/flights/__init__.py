"""The real input of `import-flights`: every flight that left New York in 2013, as the history of its aircraft."""
