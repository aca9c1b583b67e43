"""The nouns that every floor shares."""
