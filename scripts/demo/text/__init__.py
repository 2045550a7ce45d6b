"""The generator of the demo's text: nothing but tables, patterns and a seeded random source."""
