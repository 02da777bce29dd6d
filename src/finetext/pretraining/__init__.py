"""Language models on unlabeled text: adapt one, pretrain one, generate text."""
