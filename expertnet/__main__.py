from expertnet.cli import main

main()
