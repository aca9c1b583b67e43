"""The patterns: sectioning, voting, and what they share."""
