"""The anatomy of ext2 volumes, ext3 included; of ext4 what its superblock says."""
