"""The ground floor: what the rooms say to each other, and how it is checked. Knows nobody."""
