"""The checks of the exercises, a file a lecture: from mmutils.exercises import lecture1."""
