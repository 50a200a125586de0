"""The peers and limits that are processes of their own. What they share with us is named in each."""
