"""The page of `demo.py`: a room for each tab, what visitors may ask for, and how it is served."""
