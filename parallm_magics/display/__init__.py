"""From records to what a person sees."""
