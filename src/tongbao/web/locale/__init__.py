"""Words of the faces, in every language they speak; each entry holds all languages side by side."""
