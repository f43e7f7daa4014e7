"""The panels of the pages: everything here may import streamlit, and nothing else in the package does."""
