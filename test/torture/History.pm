
=pod

=head1 NAME

History - what the clients of the torture test saw, held against what is there

=head1 SYNOPSIS

  my $history = History->new(glob "$dir/client-*.log");
  my %rows = (r2 => { account => [[0, 1000], ...], ledger => [...], ... }, r3 => ...);
  my @complaints = $history->transfers($rows{r2}, 'r2');

Each check returns a line for each thing that is wrong.

=cut

package History;

use strict;
use warnings;

my @fields = (
	transfer => [qw(id from to amount)],
	put => [qw(id)],
	get => [qw(id found)],
	write => [qw(key value version)],
	read => [qw(key version value)]);

sub new
{
	my ($class, @files) = @_;
	my %names = @fields;
	my @operations;

	foreach my $name (@files)
	{
		open my $file, '<', $name or die "$name: $!";
		while (my $line = <$file>)
		{
			chomp $line;
			my ($kind, $begin, $end, $class_, $sqlstate, $session, $commit, $cluster, @rest) = split /\t/, $line;
			my %operation = (
				kind => $kind, begin => $begin, end => $end, class => $class_, sqlstate => $sqlstate,
				session => $session, commit => $commit, cluster => $cluster, line => $line);
			@operation{ @{ $names{$kind} } } = @rest;
			push @operations, \%operation;
		}
		close $file;
	}
	return bless { operations => [ sort { $a->{begin} <=> $b->{begin} } @operations ] }, $class;
}

sub operations { return @{ $_[0]->{operations} }; }

sub _of
{
	my ($self, $cluster, @kinds) = @_;
	return grep { my $o = $_; $o->{cluster} eq $cluster && grep { $_ eq $o->{kind} } @kinds } $self->operations;
}

=pod

=over

=item $h->counts, $h->slowest

A hash of "kind class" to the number of operations; the operation that took longest.

=item $h->commits

How acknowledged operations were committed whose client has looked: a hash of "cluster kind commit",
which is C<early>, C<ordinary>, or C<none> where one node alone has committed or nothing was written.

=item $h->hangs

Operations without an end.

=cut

sub counts
{
	my ($self) = @_;
	my %counts;
	$counts{"$_->{kind} $_->{class}"}++ foreach $self->operations;
	return \%counts;
}

sub slowest
{
	my ($self) = @_;
	my ($slowest) = sort { $b->{end} - $b->{begin} <=> $a->{end} - $a->{begin} } $self->operations;
	return $slowest;
}

sub commits
{
	my ($self) = @_;
	my %commits;
	$commits{"$_->{cluster} $_->{kind} $_->{commit}"}++
	  foreach grep { $_->{class} eq 'ok' && $_->{commit} ne '-' } $self->operations;
	return \%commits;
}

sub hangs
{
	my ($self) = @_;
	return map { "no answer: $_->{line}" } grep { $_->{class} eq 'hang' } $self->operations;
}

=pod

=item $h->transfers($rows, $cluster)

Both sides of a transfer are there or none, all that were acknowledged, none that was
refused; every balance is what the account's transfers make it; their sum is what it was.

=cut

sub transfers
{
	my ($self, $rows, $cluster) = @_;
	my (@wrong, %sides, %balance, $sum);

	foreach my $row (@{ $rows->{ledger} })
	{
		my ($account, $id, $amount) = @$row;
		$sides{$id}{$account} = $amount;
		$balance{$account} += $amount;
	}
	foreach my $o ($self->_of($cluster, 'transfer'))
	{
		my $there = delete $sides{ $o->{id} } // {};
		my $whole = keys %$there == 2 && ($there->{ $o->{from} } // 0) == -$o->{amount}
		  && ($there->{ $o->{to} } // 0) == $o->{amount};
		push @wrong, "half of it is there (" . join(',', %$there) . "): $o->{line}" if %$there && !$whole;
		push @wrong, "acknowledged, and not there: $o->{line}" if $o->{class} eq 'ok' && !%$there;
		push @wrong, "refused, and there: $o->{line}" if $o->{class} eq 'refused' && %$there;
	}
	push @wrong, map { "nobody has made transfer $_" } sort keys %sides;
	foreach my $row (@{ $rows->{account} })
	{
		my ($account, $balance) = @$row;
		my $due = 1000 + ($balance{$account} // 0);
		push @wrong, "the balance of account $account is $balance, its transfers make it $due" if $balance != $due;
		$sum += $balance;
	}
	my $due = 1000 * @{ $rows->{account} };
	push @wrong, "the sum of balances was $due and is $sum" if $sum != $due;
	return @wrong;
}

=pod

=item $h->items($rows, $cluster)

Every item that was put is there, none that was refused, none twice; those that read
one back saw it if it had been acknowledged before, and never what was refused.

=cut

sub items
{
	my ($self, $rows, $cluster) = @_;
	my (@wrong, %there, %put);

	foreach my $row (@{ $rows->{item} })
	{
		push @wrong, "item $row->[0] is there twice" if $there{ $row->[0] }++;
	}
	foreach my $o ($self->_of($cluster, 'put'))
	{
		$put{ $o->{id} } = $o;
		push @wrong, "acknowledged, and not there: $o->{line}" if $o->{class} eq 'ok' && !$there{ $o->{id} };
		push @wrong, "refused, and there: $o->{line}" if $o->{class} eq 'refused' && $there{ $o->{id} };
	}
	push @wrong, map { "nobody has put item $_" } grep { !$put{$_} } sort keys %there;
	foreach my $o ($self->_of($cluster, 'get'))
	{
		my $put = $put{ $o->{id} };
		next if $o->{class} ne 'ok' || !$put;
		push @wrong, "an acknowledged item was not found: $o->{line}, put by $put->{line}"
		  if !$o->{found} && $put->{class} eq 'ok' && $put->{end} < $o->{begin};
		push @wrong, "an item that is not there was found: $o->{line}" if $o->{found} && !$there{ $o->{id} };
	}
	return @wrong;
}

=pod

=item $h->registers($rows, $cluster)

Returns a reference to the complaints, and the number of reads that PROTOCOL rule 23
allows for: they returned an older value than another session had read before, of a
write whose caller had not yet been told.

Each write of a register raises its version by one and leaves a row in register_log, so
the order of all writes is known, and a history is linearizable if that order agrees
with it: no operation sees or makes a version that is older than (for a write: or the
same as) what an operation that had ended before it began saw or made. Only what
rule 23 allows is left out of that: for a read, what other sessions had read.

=cut

sub registers
{
	my ($self, $rows, $cluster) = @_;
	my (@wrong, %log, %version, $allowed);

	foreach my $row (@{ $rows->{register_log} })
	{
		my ($key, $version, $value) = @$row;
		$log{$key}[$version] = $value;
		$version{"$key $value"} = $version;
	}
	foreach my $row (@{ $rows->{register} })
	{
		my ($key, $version, $value) = @$row;
		my @versions = @{ $log{$key} // [0] };
		$versions[0] = 0;
		push @wrong, "register $key: version $_ is missing" foreach grep { !defined $versions[$_] } 1 .. $#versions;
		push @wrong, "register $key is at version $version, the last write made $#versions" if $version != $#versions;
		push @wrong, "register $key is $value, the last write made it $versions[-1]" if $value != $versions[-1];
		$log{$key} = \@versions;
	}

	my (%writes, %by_key);
	foreach my $o ($self->_of($cluster, 'write'))
	{
		my $version = $version{"$o->{key} $o->{value}"};
		$writes{"$o->{key} $o->{value}"} = $o;
		push @wrong, "acknowledged, and not there: $o->{line}" if $o->{class} eq 'ok' && !defined $version;
		push @wrong, "refused, and there as version $version: $o->{line}" if $o->{class} eq 'refused' && defined $version;
		push @wrong, "returned version $o->{version}, and is $version: $o->{line}"
		  if $o->{class} eq 'ok' && defined $version && $o->{version} ne $version;
		$o->{version} = $version;
		push @{ $by_key{ $o->{key} } }, $o if $o->{class} eq 'ok' && defined $version;
	}
	push @wrong, map { "nobody has made the write $_" } grep { !$writes{$_} } sort keys %version;
	foreach my $o ($self->_of($cluster, 'read'))
	{
		next unless $o->{class} eq 'ok';
		my $value = $o->{version} =~ /^\d+$/ ? $log{ $o->{key} }[ $o->{version} ] : undef;
		if (!defined $value || $value != $o->{value})
		{
			push @wrong, "read what was never written: $o->{line}";
			next;
		}
		my $write = $writes{"$o->{key} $o->{value}"};
		push @wrong, "read before it was written: $o->{line}" if $write && $write->{begin} > $o->{end};
		push @{ $by_key{ $o->{key} } }, $o;
	}

	foreach my $key (sort keys %by_key)
	{
		my @begun = sort { $a->{begin} <=> $b->{begin} } @{ $by_key{$key} };
		my @ended = sort { $a->{end} <=> $b->{end} } @{ $by_key{$key} };
		my $none = { version => -1, line => '' };
		my ($written, $seen, %own) = ($none, $none);
		foreach my $o (@begun)
		{
			# the newest that had been acknowledged, seen by anybody, known to this session
			while (@ended && $ended[0]{end} < $o->{begin})
			{
				my $e = shift @ended;
				$written = $e if $e->{kind} eq 'write' && $e->{version} > $written->{version};
				$seen = $e if $e->{version} > $seen->{version};
				$own{ $e->{session} } = $e
				  if $e->{version} > ($own{ $e->{session} } // $none)->{version};
			}
			my $own = $own{ $o->{session} } // $none;
			if ($o->{kind} eq 'write')
			{
				push @wrong, "a write came before what had been seen: $o->{line}, and before it $seen->{line}"
				  if $o->{version} <= $seen->{version};
				next;
			}
			push @wrong, "a read has missed an acknowledged write: $o->{line}, and before it $written->{line}"
			  if $o->{version} < $written->{version};
			push @wrong, "a session has gone back in time: $o->{line}, and before it $own->{line}"
			  if $o->{version} < $own->{version};
			$allowed++
			  if $o->{version} < $seen->{version}
			  && $o->{version} >= $written->{version}
			  && $o->{version} >= $own->{version};
		}
	}
	return (\@wrong, $allowed // 0);
}

=pod

=back

=cut

1;
