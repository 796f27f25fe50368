"""`cmarr doctor`: what a corpus, its media, its encoders and the machine lack, told before hours are spent."""
