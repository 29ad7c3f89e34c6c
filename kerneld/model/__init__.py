"""The vocabulary: frozen data that every room speaks and no room owns."""
