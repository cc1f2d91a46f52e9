# DBD::MariaDB: statements prepared on the server. Prints a line as mariadb_pymysql.py does.
# Arguments: the port, and whether to compress.

use strict;
use warnings;
use DBI;
use JSON::PP;

my ($port, $compressed) = @ARGV;
my $dbh = DBI->connect(
    "DBI:MariaDB:database=shop;host=127.0.0.1;port=$port;mariadb_compression=$compressed;"
        . "mariadb_server_prepare=1;mariadb_server_prepare_disable_fallback=1",
    "root", "", { RaiseError => 0, PrintError => 0 },
) or die $DBI::errstr;

# The driver's own.
my @queries = map { { text => $_, affected => 0 } } (
    "SET NAMES 'utf8mb4'",
    "SET character_set_server = 'utf8mb4'",
    "SET collation_connection = 'utf8mb4_unicode_ci'",
    "SET collation_server = 'utf8mb4_unicode_ci'",
);

sub note {
    my ($text, %seen) = @_;
    push @queries, { text => $text, %seen };
}

# An execution of a prepared statement.
sub execute {
    my ($sth, @parameters) = @_;
    my $text = $sth->{Statement};
    if (!$sth->execute(@parameters)) {
        return note($text, error => "" . $sth->err);
    }
    if (!$sth->{NUM_OF_FIELDS}) {
        return note($text, affected => 0 + $sth->rows);
    }
    my $rows = 0;
    $rows++ while $sth->fetchrow_arrayref;
    note($text, rows => $rows);
}

# Prepares and executes once; one that cannot be prepared is told as it is.
sub run {
    my ($text, @parameters) = @_;
    my $sth = $dbh->prepare($text) or return note($text, error => "" . $dbh->err);
    execute($sth, @parameters);
}

# An agent has settled what this connection is before much is sent.
run("select sleep(0.5)");
run("drop table if exists perl");
run("create table perl (id int primary key, name varchar(200), at datetime)");
my $insert = $dbh->prepare("insert into perl values (?, ?, now())");
execute($insert, $_, "name $_") for 1 .. 50;
execute($insert, 1, "twice");
my $one = $dbh->prepare("select * from perl where id = ?");
my $some = $dbh->prepare("select id, name, at, null, 1.5e0, id * 1000000000 from perl where id <= ?");
for my $id (1 .. 5) {
    execute($one, $id);
    execute($some, $id * 10);
}
execute($one, 1000);
run("selec ?", 1);
run("select * from missing where id = ?", 1);
run("select repeat('w', ?)", 200_000);
run("select seq, repeat('r', 90) from seq_1_to_20000");
# Bytes that do not compress.
run("select sha2(seq, 512), sha2(seq + 1, 512) from seq_1_to_2000");
run("select length(?)", "p" x 200_000);
run("update perl set name = ? where id > ?", "y", 40);
# The server prepares by itself anew.
run("alter table perl modify name varchar(300)");
execute($one, 3);
run("delete from perl where id between ? and ?", 1, 5);
run("select 1 union select 2");
$_->finish for $insert, $one, $some;
undef $_ for $insert, $one, $some;
$dbh->disconnect;
print encode_json({ queries => \@queries }), "\n";
